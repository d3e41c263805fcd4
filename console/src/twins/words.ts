// What behaviours call their parts, in Chinese; in English their own names are words already.

import { i18n } from "../lib/i18n.svelte";

const ZH: Record<string, string> = {
  lag: "一阶滞后加纯滞后", "thermal-mass": "受热热容体", tank: "阀门出流储罐", "four-tanks": "四容耦合水箱", valve: "带定位器的调节阀",
  pump: "离心泵及驱动与管路", compressor: "带储气罐的压缩机", "heat-exchanger": "两集总换热器", "rotating-machine": "带轴承的旋转机械", station: "输送、缓冲与工位",
  conveyor: "带输送滞后的输送机", buffer: "工位间缓冲", "production-line": "三工位产线（含缓冲与输送）",
  level: "水平", drive: "驱动", gain: "增益", time_constant: "时间常数", bias: "偏置", dead_time: "纯滞后", body: "本体", sensor: "传感器",
  power: "功率", surroundings: "环境", temperature: "温度", heat_capacity: "热容", heat_loss: "散热", sensor_lag: "传感器滞后", inflow: "流入",
  opening: "开度", outflow: "流出", area: "截面积", orifice: "孔口", height: "高度", outlet: "出口", pump_gain: "泵增益", split: "分流比",
  stem: "阀杆", command: "指令", upstream: "上游压力", downstream: "下游压力", flow: "流量", flow_coefficient: "流量系数", rangeability: "可调比",
  relative_density: "相对密度", speed: "转速", head: "扬程", shutoff_head: "关死扬程", runout_flow: "最大流量", rated_speed: "额定转速",
  static_head: "静扬程", resistance: "阻力", inertance: "惯性", idle_power: "空载功率", power_slope: "功率斜率", drive_lag: "驱动滞后",
  pressure: "压力", discharge: "排气", suction_pressure: "吸气压力", suction_temperature: "吸气温度", discharge_temperature: "排气温度",
  pressure_rise: "升压", choke_flow: "堵塞流量", efficiency: "效率", demand: "需求", volume: "容积", gas_constant: "气体常数", heat_ratio: "比热比",
  hot_outlet: "热侧出口", cold_outlet: "冷侧出口", hot_flow: "热侧流量", hot_inlet: "热侧入口", cold_flow: "冷侧流量", cold_inlet: "冷侧入口",
  conductance: "传热导", hot_capacity: "热侧热容", cold_capacity: "冷侧热容", hot_heat: "热侧比热", cold_heat: "冷侧比热",
  rated_hot_flow: "热侧额定流量", rated_cold_flow: "冷侧额定流量", bearing: "轴承", vibration: "振动", drive_torque: "驱动转矩",
  load_torque: "负载转矩", inertia: "转动惯量", friction: "摩擦", bearing_capacity: "轴承热容", bearing_cooling: "轴承散热", wear_rate: "磨损率",
  availability: "可用率", next_level: "下游存量", running: "运行", throughput: "产出", rate: "节拍", half_load: "半负荷", capacity: "容量",
  next_capacity: "下游容量", between_failures: "平均无故障时间", to_repair: "平均修复时间", transport: "输送时间",
  belt_speed: "带速", load: "在带件数", length: "带长", infeed: "进料", accepted: "接纳量", cell: "带段", belt: "带上件数",
};

/** Classes of machines, where a behaviour's title would say too much. */
const CLASSES: Record<string, string> = {
  process: "过程", tank: "储罐", valve: "阀门", pump: "泵", compressor: "压缩机", "heat-exchanger": "换热器", "thermal-mass": "热容体（反应器、炉）",
  "rotating-machine": "旋转机械", station: "工位", conveyor: "输送机", buffer: "缓冲", "production-line": "产线", "four-tanks": "四容水箱",
};


/** A part's name as a person reads it; numbered parts (`area_1`) keep their number. */
export function partName(name: string): string {
  const [, stem, number] = /^(.*?)(?:_(\d+))?$/.exec(name)!;
  if (i18n.lang !== "zh") return name.replace(/_/g, " ");
  const told = ZH[name] ?? ZH[stem!];
  return told ? (ZH[name] || !number ? told : `${told} ${number}`) : name.replace(/_/g, " ");
}

/** A kind of machine by its title; Chinese where it is known. */
export function kindTitle(name: string, title: string): string {
  return (i18n.lang === "zh" && ZH[name]) || title;
}

/** A class of machines as a draft names it. */
export function className(name: string): string {
  return i18n.lang === "zh" ? (CLASSES[name] ?? name) : name.replace(/-/g, " ");
}
